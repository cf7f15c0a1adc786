"""Where the master key comes from. One file a source."""
