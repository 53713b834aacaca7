"""The stand-in over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from flask import Flask, Response, request
from werkzeug.serving import make_server

from bakalari.school import School

PAGE = "<!DOCTYPE html><html><body>The application is being updated.</body></html>"
PUBLIC = """<select id="selectedClass"><option></option><option value="XL">1.A</option><option value="XN">1.C</option></select>
<select id="selectedTeacher"><option></option><option value="U  12">Vzor Karel</option><option value="UWZIS">
 Nov&#225;kov&#225; Eva
</option></select>"""


def application(school: School) -> Flask:
    """Return the school's web application."""
    app = Flask(__name__)

    @app.before_request
    def closed() -> Response | None:
        if request.path == "/stand-in":
            return None
        if school.mode == "maintenance":
            return Response(PAGE, 503, mimetype="text/html")
        return Response(PAGE, 200, mimetype="text/html") if school.mode == "login page" else None

    @app.post("/stand-in")
    def change() -> tuple[dict[str, object], int]:
        """What no school has: make this one behave. `mode`; `rename`: [teacher, name]; `without`: a subject."""
        asked = request.get_json()
        school.mode = asked.get("mode", school.mode)
        if "rename" in asked:
            teacher, name = asked["rename"]
            school.teachers[teacher] = (name, school.teachers[teacher][1])
        for home, lessons in school.lessons.items():
            school.lessons[home] = [
                each for each in lessons if each["SubjectId"] is None or each["SubjectId"] != asked.get("without")
            ]
        return {}, 200

    @app.post("/api/login")
    def login() -> tuple[dict[str, object], int]:
        status, body = school.log_in(request.form.to_dict())
        return body, status

    @app.get("/Timetable/Public")
    def public() -> Response:
        return Response(PUBLIC, mimetype="text/html")

    @app.get("/api/3/<path:path>")
    def show(path: str) -> tuple[dict[str, object], int]:
        person = school.who(request.headers.get("Authorization", ""))
        if person is None:
            return {"Message": "Authorization has been denied for this request."}, 401
        body = school.show(person, path)
        if path in school.down or body is None:
            return {"Message": "An error has occurred."}, 500 if path in school.down else 404
        return body, 200

    return app


@contextmanager
def serving(school: School, port: int = 0) -> Iterator[str]:
    """Serve a school on 127.0.0.1 and yield its address."""
    server = make_server("127.0.0.1", port, application(school), threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
