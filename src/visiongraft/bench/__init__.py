"""How fast networks are beside the same networks of others, with the same weights, in turn and in one process."""
