/** What is used of the WebAssembly JavaScript interface; TypeScript has it among the types of browsers only. */
declare namespace WebAssembly {
  class Module {
    constructor(octets: Uint8Array);
  }
  class Instance {
    readonly exports: Readonly<Record<string, unknown>>;
    constructor(module: Module);
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
  }
}
