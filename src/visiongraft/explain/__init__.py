"""Why a network says what it says: pages and pictures."""
