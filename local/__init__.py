"""The local stack: emulator, secrets, backend and functions as real processes on 127.0.0.1, in one command.

Rooms, each of which can be used alone:
    ports, process     free ports, child processes that never outlive their parent
    emulator           the Cloud Firestore emulator            < java, jar
    secrets            a stand-in for Secret Manager
    bundle             what is deployed, staged into one folder
    triggers           which function listens to which documents, from sync.yaml
    functions          serves that folder                      (runs as its own process)
    backend            the Django backend
    stack              all of them, in order                   < the above
    up, demo           commands                                < stack
    deployment         what deploy.sh deploys                  < bundle, triggers, functions
    licences           what is deployed, and under which licences; docs/licences.md
    command_line       docs/command-line.md, from the commands
    venv.sh, venv.py   what the Makefile sets .venv up with
"""
