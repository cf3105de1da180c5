"""/: what this server is, for whoever comes upon it."""

from flask import Blueprint, render_template

routes = Blueprint("home", __name__)


@routes.get("/")
def home() -> str:
    """Say what this server is and where to go from here."""
    return render_template("home.html")
