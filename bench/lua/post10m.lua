wrk.method = "POST"
wrk.body = string.rep("x", 10485760)
