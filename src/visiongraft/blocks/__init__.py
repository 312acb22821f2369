"""The vocabulary: each word is a frozen dataclass beside the module that it builds."""
