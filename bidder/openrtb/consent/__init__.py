"""What a person agreed to: readers of consent strings, and the permissions that follow from them."""
