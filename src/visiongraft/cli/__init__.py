"""The command `graft`: each verb parses, calls the library and prints."""
