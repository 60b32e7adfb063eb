"""What the front does at the edge of a site: rules about requests and responses."""
