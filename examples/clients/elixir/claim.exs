# Claim a campaign with Ecto: elixir claim.exs (the first run fetches ecto_sql and postgrex from hex.pm).
Mix.install([{:ecto_sql, "~> 3.12"}, {:postgrex, "~> 0.19"}])

defmodule Repo do
  use Ecto.Repo, otp_app: :claim, adapter: Ecto.Adapters.Postgres
end

defmodule Campaigns do
  @claim "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"

  # Postgrex knows the SQLSTATEs of Postgres by name, and gives ours as they are: under `pg_code`.
  def claim(pool, claimant, key) do
    case Repo.query(@claim, [pool, claimant, key]) do
      {:ok, %{rows: [[campaign_id, source]]}} -> {:ok, campaign_id, source}
      {:error, %Postgrex.Error{postgres: %{pg_code: "CP002"}}} -> {:error, :none_ready}
      {:error, error} -> {:error, error}
    end
  end
end

{:ok, _} = Repo.start_link(url: System.fetch_env!("DATABASE_URL"), pool_size: 1)

case Campaigns.claim(System.fetch_env!("POOL"), System.fetch_env!("CLAIMANT"), System.fetch_env!("KEY")) do
  {:ok, campaign_id, source} ->
    IO.puts("#{campaign_id} #{source}")

  {:error, :none_ready} ->
    IO.puts(:stderr, "no campaign is ready: try again later")
    System.halt(75)

  {:error, error} ->
    raise error
end
