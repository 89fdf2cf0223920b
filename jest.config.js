/** Tests run on compiled code: threads load the very files that production runs. */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.js'],
  rootDir: process.env.VECTRON_DIST ?? 'dist',
  maxWorkers: 2,
  testTimeout: 60_000,
};
