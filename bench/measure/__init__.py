"""What bench/run is made of: isolation, engines, images, cases and the report."""
