// How a member's fields are shown, read and checked: the rules are the model's in Django (backend/members/models.py).

const EMAIL = /^[-!#$%&'*+/=?^_`{}|~0-9A-Z]+(\.[-!#$%&'*+/=?^_`{}|~0-9A-Z]+)*@([A-Z0-9]([A-Z0-9-]{0,61}[A-Z0-9])?\.)+[A-Z0-9-]{2,63}$/i;

/** Return a document's value as its control shows it: a text, or a list for choices. */
export function shownIn(field, value) {
  if (field.kind === "choice") return value?.id ?? value ?? "";
  if (field.kind === "choices") return [...(value || [])].sort();
  return value === undefined || value === null ? "" : String(value);
}

/** Return what is to be written; an emptied field is null. `refer` makes the reference to a document out of a path. */
export function read(field, shown, refer) {
  if (field.kind === "choices") return shown;
  if (shown === "") return null;
  return field.kind === "choice" ? refer(`${field.from}/${shown}`) : shown;
}

/** Return why Django would refuse a value, in a sentence; null if it would not. */
export function refusal(field, shown) {
  if (field.kind === "choices") return null;
  if (field.required && shown.trim() === "") return `${field.label} may not be empty.`;
  if (field.max && [...shown].length > field.max) return `${field.label} may have at most ${field.max} characters; this has ${[...shown].length}.`;
  if (field.kind === "email" && shown && !EMAIL.test(shown)) return "This is no email address: it looks like name@example.com.";
  return null;
}
