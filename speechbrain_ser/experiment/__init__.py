"""The frame that recipes hang in."""
