import { Dialog } from "@base-ui/react/dialog";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { ApiError, call } from "../api/http.ts";
import { whoKey } from "../api/queries.ts";
import type { CreatedProject } from "../api/types.ts";
import { Button, buttonClass } from "../ui/button.tsx";
import { Field } from "../ui/field.tsx";
import { ErrorNotice } from "../ui/notice.tsx";
import { Secret } from "../ui/secret.tsx";

export default function NewProjectDialog({
  close,
}: {
  close: (projectId: string | null) => void;
}): ReactNode {
  return (
    <Dialog.Root open onOpenChange={(open) => open || close(null)}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-[rgb(15_16_20/0.45)]" />
        <Dialog.Popup className="fixed top-1/2 left-1/2 z-50 w-[min(28rem,calc(100vw-2rem))] -translate-1/2 rounded-xl border border-line bg-raised p-5 shadow-float outline-none">
          <NewProject close={close} />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function NewProject({ close }: { close: (projectId: string | null) => void }): ReactNode {
  const [name, setName] = useState("");
  const client = useQueryClient();
  const make = useMutation({
    mutationFn: () => call<{ data: CreatedProject }>("POST", "/v1/projects", { body: { name } }),
    onSuccess: () => client.invalidateQueries({ queryKey: whoKey }),
  });
  const made = make.data?.data;
  if (made !== undefined) {
    return (
      <div className="space-y-4">
        <Dialog.Title className="foreign text-[16px] font-semibold">{made.name} is ready</Dialog.Title>
        <Secret label="The project's key" value={made.key} />
        <div className="flex justify-end">
          <Button kind="primary" onClick={() => close(made.id)}>
            Go to the project
          </Button>
        </div>
      </div>
    );
  }
  const field =
    make.error instanceof ApiError ? make.error.details.find(({ path }) => path === "name") : undefined;
  return (
    <form
      className="space-y-4"
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <Dialog.Title className="text-[16px] font-semibold">New project</Dialog.Title>
      <Dialog.Description className="text-ink-2">
        A project has an agent, sessions, webhooks and keys of its own.
      </Dialog.Description>
      <Field
        label="Name"
        value={name}
        onChange={setName}
        error={field?.message}
        required
        maxLength={200}
        autoComplete="off"
      />
      {make.error !== null && field === undefined && <ErrorNotice error={make.error} />}
      <div className="flex justify-end gap-2">
        <Dialog.Close className={buttonClass("plain")}>Cancel</Dialog.Close>
        <Button type="submit" kind="primary" busy={make.isPending && "Making it ..."}>
          Make the project
        </Button>
      </div>
    </form>
  );
}
