"""One module per system that can be kept in step; all stand behind `peers.base.Peer`."""
