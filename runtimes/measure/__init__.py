"""What a machine measures of a bundle: in the factory, on a device, or under an emulator."""
