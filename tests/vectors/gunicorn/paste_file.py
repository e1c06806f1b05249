# refused: it names a PasteDeploy file
paste = "production.ini"
