# binds: 2
# is: workers=1
bind = ["unix:garden.sock", "127.0.0.1:0"]
workers = "1"
