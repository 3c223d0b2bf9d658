"""How the small models of the built-in scenes are trained, evaluated and described."""
