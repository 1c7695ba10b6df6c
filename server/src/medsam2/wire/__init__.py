"""The bytes between client and server. numpy and the standard library only."""
