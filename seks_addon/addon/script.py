"""What `mitmdump -s` loads: `python -m seks_addon` prints the path of this file."""

from seks_addon.addon.addon import SeksAddon

addons = [SeksAddon()]
