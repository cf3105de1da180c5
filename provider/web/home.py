"""The page at `/`: it says what this server is and where to go."""

from flask import Blueprint, render_template

routes = Blueprint("home", __name__)


@routes.get("/")
def home() -> str:
    return render_template("home.html")
