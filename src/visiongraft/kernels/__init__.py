"""Functions on tensors. Each has a plain form, which is the definition, and fast forms that are compared with it."""
