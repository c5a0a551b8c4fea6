"""What evalsuite needs of the operating system and of the installed packages."""
