from eventlet import patcher


def monkey_patch():
    patcher.already_patched["socket"] = True
