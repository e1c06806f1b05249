# refused: the scheme is read from X-Forwarded-Proto alone, not from X-SCHEME
secure_scheme_headers = {"X-SCHEME": "https"}
