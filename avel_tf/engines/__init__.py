"""By what the networks are run: TensorFlow, or OpenVINO on the very same graphs."""
