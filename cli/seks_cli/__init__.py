"""The commands `seks` and `seks-proxy`: a thin edge over `seks_addon`."""
