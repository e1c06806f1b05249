# is: statsd=127.0.0.1:8125 statsd_prefix=garden forwarded_allow_ips=* proxy_headers=scheme
statsd_host = "127.0.0.1:8125"
statsd_prefix = "garden"
forwarded_allow_ips = "*"
proxy_allow_ips = "*"
secure_scheme_headers = {
    "X-FORWARDED-PROTOCOL": "ssl",
    "X-FORWARDED-PROTO": "https",
    "X-FORWARDED-SSL": "on",
}
