"""Detection: images with boxes and masks, and networks that find them."""
