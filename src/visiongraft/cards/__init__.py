"""What is known of each network of the zoo: what others published, what was measured here, and the card of both."""
