"""What deploy.sh does: looks at what a Google project holds, plans commands as plain data, and runs or prints them."""
