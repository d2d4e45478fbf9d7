"""Layers that more than one model family uses. Import the module you need: `from solfa.nn.seanet import SEANetConfig`."""
