// Who is signed in, and the Firestore that they may read.
import { initializeApp } from "firebase/app";
import { browserLocalPersistence, initializeAuth, onAuthStateChanged, signInWithEmailAndPassword, signOut } from "firebase/auth";
import { connectFirestoreEmulator, getFirestore } from "firebase/firestore";

const RISING = ["viewer", "operator", "admin"];
const CHOSEN = "bothways-local-role";

/** Call `changed(session)` whenever somebody signs in or out. `session` is null while nobody is signed in. */
export async function start(changed) {
  const config = await fetch("/__/firebase/init.json").then((answer) => answer.json());
  return config.local ? local(config, changed) : real(config, changed);
}

/** Say whether a session may do what needs this role. */
export function may(session, role) {
  return RISING.indexOf(session.role) >= RISING.indexOf(role);
}

function real(config, changed) {
  const app = initializeApp(config);
  const auth = initializeAuth(app, { persistence: browserLocalPersistence });
  const db = getFirestore(app);
  onAuthStateChanged(auth, async (user) => {
    if (!user) return changed(null);
    const { claims } = await user.getIdTokenResult(true); // a role that was given a minute ago counts
    changed({ db, name: user.email || user.uid, role: claims.bothways || "none", member: claims.member, token: () => user.getIdToken() });
  });
  return {
    local: false,
    signIn: ({ email, password }) => signInWithEmailAndPassword(auth, email, password),
    signOut: () => signOut(auth),
  };
}

/** Beside an emulator nobody has a password: whoever sits here says what they are. */
function local(config, changed) {
  const { role, member } = JSON.parse(sessionStorage.getItem(CHOSEN) || "{}");
  if (role) {
    const token = unsigned(config.projectId, role, member);
    const db = getFirestore(initializeApp(config));
    const [host, port] = config.local.firestore.split(":");
    connectFirestoreEmulator(db, host, Number(port), { mockUserToken: token });
    changed({ db, name: `${role === "none" ? "somebody" : role} on this machine`, role, member, token: async () => token });
  } else {
    changed(null);
  }
  const again = (chosen) => {
    if (chosen) sessionStorage.setItem(CHOSEN, JSON.stringify(chosen));
    else sessionStorage.removeItem(CHOSEN);
    location.reload(); // the emulator's client has one user for its whole life
  };
  return { local: true, signIn: async (chosen) => again(chosen), signOut: async () => again(null) };
}

function unsigned(project, role, member) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const email = `${role}@example.com`;
  const claims = { iss: `https://securetoken.google.com/${project}`, aud: project, sub: `local-${role}`, user_id: `local-${role}` };
  const more = { iat: now - 60, auth_time: now - 60, exp: now + 86_400, email, email_verified: true, firebase: {} };
  return `${part({ alg: "none", typ: "JWT" })}.${part({ ...claims, ...more, ...(role === "none" ? {} : { bothways: role }), ...(member ? { member } : {}) })}.`;
}
