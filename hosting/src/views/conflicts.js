export const conflicts = () => ({draw: () => '', stop(){}});
