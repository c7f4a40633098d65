"""Engines that run the networks: TensorFlow, or OpenVINO on the same graphs."""
