KIND = "rose"
