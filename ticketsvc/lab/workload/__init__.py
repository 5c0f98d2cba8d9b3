"""Send purchases to services, record what they answer, start and stop services."""
