"""Schools as Bakaláři has them: classes, subjects, users and enrolments."""
