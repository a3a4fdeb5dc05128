"""What is drawn for people to look at. Drawing libraries are loaded when something is drawn, not before."""
