def patch_driver():
    from gevent import monkey

    assert monkey.get_original("socket", "socket")
