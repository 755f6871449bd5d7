import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["test/dialled.ts", "test/postgres.ts"],
    setupFiles: ["test/dialled-hook.mjs"],
    // Files share two cores and one PostgreSQL; more files at once only lengthen each.
    maxWorkers: 2,
    // For a machine that is busy with something else. What waits for something fails before that, and says for what.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // A test that is marked as the only one would hide all others in CI.
    allowOnly: false,
    passWithNoTests: false,
  },
});
