"""What goes over a wire and stands on a node: types, widgets, folders, pictures, and the bridge to the library."""
