"""The editor of products: the forms follow from the schemas of the kinds."""
