import assert from "node:assert/strict";
import test from "node:test";

import { readInvitation } from "../static/server-api.js";

test("the fragment of the URL names a session", () => {
  assert.deepEqual(readInvitation("#session=s%201&token=t%2B&role=observer"), {
    sessionId: "s 1",
    token: "t+",
    role: "observer",
  });
  assert.equal(readInvitation("#session=s&token=t")?.role, "owner");
  for (const fragment of ["", "#", "#session=s", "#token=t", "#start"]) {
    assert.equal(readInvitation(fragment), null, fragment);
  }
});
