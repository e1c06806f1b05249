already_patched = {}
