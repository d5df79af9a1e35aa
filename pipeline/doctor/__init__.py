"""`vaepipe doctor`: is this machine ready, and is this workspace?"""
