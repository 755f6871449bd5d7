/** Conditions of a WHERE and their parameters, collected one by one. */
export class Filters {
  readonly #conditions: string[] = [];
  readonly #values: unknown[] = [];

  /** Adds a condition unless the value is undefined; `?` in it stands for the value. */
  add(condition: string, value: unknown): this {
    if (value === undefined) return this;
    this.#conditions.push(condition.replaceAll("?", `$${this.#values.push(value)}`));
    return this;
  }

  /** The number of a further parameter. */
  parameter(value: unknown): string {
    return `$${this.#values.push(value)}`;
  }

  get where(): string {
    return this.#conditions.length === 0 ? "" : `WHERE ${this.#conditions.join(" AND ")}`;
  }

  get values(): unknown[] {
    return this.#values;
  }
}
