import assert from 'node:assert/strict';
import { build, problemsOf } from './build.ts';

describe('configuration: keys.store', () => {
  const written = (path: string, url: string) => {
    const [kind, name] = path.split('.');
    return `keys:\n  store:\n    ${kind}:\n      ${name}: "${url}"\n`;
  };

  for (const path of ['s3.endpoint', 'kubernetes.server']) {
    it(`takes a URL as ${path}, and none with a password, which it does not quote`, () => {
      build(written(path, 'https://store.example:8443'));
      build(written(path, ''));
      for (const url of ['https://user:canary@store.example', 'store.example', 'ftp://x']) {
        const texts = problemsOf(written(path, url)).map((problem) => JSON.stringify(problem));
        assert.match(texts.join(), new RegExp(path.replace('.', '\\.')));
        assert.doesNotMatch(texts.join(), /canary/);
      }
    });
  }
});
