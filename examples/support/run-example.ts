/** Runs an example: a failure is one line and a non-zero exit code; `main` says by its result whether all was well. */
export function runExample(main: () => Promise<boolean>): void {
  main().then(
    (isWell) => {
      process.exitCode = isWell ? 0 : 1;
    },
    (error: unknown) => {
      console.error(error instanceof Error ? (error.stack ?? error.message) : String(error));
      process.exitCode = 1;
    },
  );
}
