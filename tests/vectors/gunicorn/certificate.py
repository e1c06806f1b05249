# refused: keyfile: TLS is a proxy's business
certfile = "/etc/garden/cert.pem"
keyfile = "/etc/garden/key.pem"
