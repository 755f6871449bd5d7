export interface Party {
  readonly name: string;
  readonly version?: string;
  readonly licence: string;
  readonly text: string;
}
type Entries = Readonly<Record<string, { readonly dependencies?: Readonly<Record<string, string>> }>>;
export const bundledFile: string;
export const allowedLicences: readonly string[];
export const publishedFolders: readonly string[];
export function isAllowed(expression: string): boolean;
export function productionOf(entries: Entries, folder: string): string[];
export function thirdParties(folder: string, bundled?: readonly string[]): Party[];
export function noticesOf(parties: readonly Party[]): string;
export function bundledPackages(): string[];
export function writeNotices(): void;
